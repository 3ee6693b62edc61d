//! The migrations are embedded; cargo does not see by itself when one is added.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
