alias Target = vec4<f32>;
