//! naru-identity
