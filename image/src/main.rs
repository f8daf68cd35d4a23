//! holm-image

fn main() {}
