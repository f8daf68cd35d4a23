//! holm-network
