//! The floor plan of `empire-maint`. One road for the data, and no way back:
//!
//! ```text
//! argv → cli → config → resolve → Task → journal.begin → run → alerts → journal.finish → output → exit code
//! ```
//!
//! `app` is the only place where that order is written down. A task is a function from a context to a report: it never prints,
//! never exits, never reads the clock or the environment by itself. Floors, ground up; imports go down only
//! (`tests/cli/layers.rs` keeps that true): error, exit, units, text, hash → report → sys → config → sqlite, weblog, x509, npm, redis,
//! nvml, calendar, secrets, faiss, queries, similar, ranking, harmful, embedding → archive → journal → context →
//! alert, baseline, output, board, optimize → task → tasks → cli, meta, demo → app.

pub mod alert;
pub mod app;
pub mod archive;
pub mod baseline;
pub mod board;
pub mod calendar;
pub mod cli;
pub mod config;
pub mod context;
pub mod demo;
pub mod embedding;
pub mod error;
pub mod exit;
pub mod faiss;
pub mod harmful;
pub mod hash;
pub mod journal;
pub mod meta;
pub mod npm;
pub mod nvml;
pub mod optimize;
pub mod output;
pub mod queries;
pub mod ranking;
pub mod redis;
pub mod report;
pub mod secrets;
pub mod similar;
pub mod sqlite;
pub mod sys;
pub mod task;
pub mod tasks;
pub mod text;
pub mod units;
pub mod weblog;
pub mod x509;
