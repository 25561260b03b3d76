export * from '@textual-inversion/web';
