alias Target = u32;
