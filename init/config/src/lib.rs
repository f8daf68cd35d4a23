//! holm-config
