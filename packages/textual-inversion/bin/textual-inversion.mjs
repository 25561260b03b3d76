#!/usr/bin/env node
// Not in `dist`: npm links a command only where its file is there when it installs, and this repository is built afterwards.
import '@textual-inversion/node/cli';
