//! holm-init

fn main() {}
