#!/usr/bin/env node
import '@textual-inversion/node/cli';
