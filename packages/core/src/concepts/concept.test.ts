import { describe, expect, test } from 'vitest';
import type { HostTensor } from '../platform.js';
import { checkConcept, vectorsOf } from './concept.js';

const rows = (count: number, width: number): HostTensor => ({
  data: new Float32Array(count * width),
  shape: [count, width],
});
const concept = (...parts: HostTensor[]) => ({ token: '<x>', rows: parts, info: {} });

describe('checkConcept', () => {
  test('takes what fits', () => {
    expect(() => checkConcept(concept(rows(3, 4)), [4])).not.toThrow();
    expect(() => checkConcept(concept(rows(2, 4), rows(2, 6)), [4, 6])).not.toThrow();
    expect(vectorsOf(concept(rows(3, 4)))).toBe(3);
    expect(vectorsOf(concept())).toBe(0);
  });

  test.each([
    ['another width', concept(rows(1, 5)), [4], /width 4.*found 5.*another kind of model/],
    ['one encoder less', concept(rows(1, 4)), [4, 6], /4 and 6/],
    ['one encoder more', concept(rows(1, 4), rows(1, 6)), [4], /4 and 6/],
    ['encoders in another order', concept(rows(1, 6), rows(1, 4)), [4, 6], /6 and 4/],
    ['more rows for one encoder', concept(rows(2, 4), rows(1, 6)), [4, 6], /\[2, 4\].*\[1, 6\]/],
    ['no rows', concept(rows(0, 4)), [4], /\[0, 4\]/],
    ['fewer numbers than it says', concept({ data: new Float32Array(3), shape: [1, 4] }), [4], /3 numbers/],
  ])('refuses %s', (_, wrong, widths, message) => {
    expect(() => checkConcept(wrong, widths)).toThrowError(
      expect.objectContaining({ code: 'CONCEPT_WIDTH', message: expect.stringMatching(message) }),
    );
  });
});
