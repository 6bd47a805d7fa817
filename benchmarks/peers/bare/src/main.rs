//! The bare loops: `recvmmsg` that parses nothing and `sendmmsg` that builds nothing.
//!
//! `bare receive GROUP PORT BUFFER` and `bare send GROUP PORT FILE` take commands as lines on standard input and answer
//! each with one line of JSON, so that a benchmark can hold two of them at once and say when each begins. IPv4 on the
//! loopback interface only.

mod clock;
mod receive;
mod send;

use std::io::{self, BufRead, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;

/// Datagrams handed to the kernel, or taken from it, by one system call.
const BATCH: usize = 64;

/// The largest UDP payload IPv4 carries, rounded up: each buffer must hold any datagram.
const BUFFER_BYTES: usize = 65_536;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receive", group, port, buffer] => parse(group, port).and_then(|(group, port)| {
            let buffer = buffer.parse().map_err(|_| format!("{buffer}: not a number of bytes"))?;
            receive::Receiver::open(group, port, buffer).map_err(|error| error.to_string()).and_then(serve)
        }),
        ["send", group, port, file] => parse(group, port).and_then(|(group, port)| {
            send::Sender::open(group, port, file).map_err(|error| format!("{file}: {error}")).and_then(serve)
        }),
        _ => Err("usage: bare receive GROUP PORT BUFFER | bare send GROUP PORT FILE".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bare: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What a command line drives: words in, one JSON object out.
trait Served {
    fn ready(&self) -> String;
    fn answer(&mut self, words: &[&str]) -> Result<String, String>;
}

fn serve(mut served: impl Served) -> Result<(), String> {
    say(&served.ready());
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let words: Vec<&str> = line.split_whitespace().collect();
        say(&served.answer(&words)?);
    }
    Ok(())
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    // A parent that has gone away is no error of ours: the next read of standard input ends the loop.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn parse(group: &str, port: &str) -> Result<(Ipv4Addr, u16), String> {
    let group = group.parse().map_err(|_| format!("{group}: not an IPv4 address"))?;
    let port = port.parse().map_err(|_| format!("{port}: not a port"))?;
    Ok((group, port))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word}: not a whole number"))
}
