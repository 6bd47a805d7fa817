//! Both sessions without sockets and without a clock.

// What is asked for is a list of ranges, often of one.
#![allow(clippy::single_range_in_vec_init)]

mod member;
mod pair;
mod repairing;
mod sending;
mod strangers;
mod together;
