//! holm-update
