export * from '@textual-inversion/node';
