//! naru-web
