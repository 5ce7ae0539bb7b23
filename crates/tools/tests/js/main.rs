//! The tool `js` through the whole tool path: what programs see of the language and of the world, and how they end.

mod language;
mod network;
mod setting;
mod stopped;
mod world;
