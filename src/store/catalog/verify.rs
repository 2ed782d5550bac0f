//! Whether all of the catalog still agrees with itself.
