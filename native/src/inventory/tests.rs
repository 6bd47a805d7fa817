//! What is counted, and what the bounds leave out.
