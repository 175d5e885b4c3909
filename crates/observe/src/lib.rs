//! naru-observe
