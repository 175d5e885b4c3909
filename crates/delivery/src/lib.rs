//! naru-delivery
