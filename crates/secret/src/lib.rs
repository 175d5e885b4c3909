//! naru-secret
