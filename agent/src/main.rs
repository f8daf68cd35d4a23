//! holm

fn main() {}
