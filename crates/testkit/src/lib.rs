//! naru-testkit
