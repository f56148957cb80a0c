alias Unit = vec4<u32>;
