//! naru-edge
