import { expect, it } from 'vitest';
import { nearest } from './options.js';

const KNOWN = ['auto', 'onnx-cpu', 'onnx-cuda', 'wasm'];

it.each([
  ['onx-cpu', 'onnx-cpu'],
  ['WASN', 'wasm'],
  ['cuda', 'onnx-cuda'],
  ['cpu', 'onnx-cpu'],
  ['something', undefined],
  ['o', undefined],
])('the nearest name to %s is %s', (word, expected) => {
  expect(nearest(word, KNOWN)).toBe(expected);
});
