//! Both sessions without sockets and without a clock.

mod member;
mod repairing;
mod sending;
mod strangers;
