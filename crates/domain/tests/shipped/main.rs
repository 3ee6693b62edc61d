//! What lies in `deploy/` is what the code says.

mod scenarios;
mod schemas;
