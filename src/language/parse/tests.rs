//! Behaviour of the parser.
#![cfg(test)]
