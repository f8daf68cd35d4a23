//! holm-vm
