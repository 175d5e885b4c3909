//! naru-source
