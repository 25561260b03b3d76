import { describe, expect, it } from 'vitest';
import { Generator } from '../../packages/core/src/random.js';
import { about, expectClose, golden, readTensors } from '../support/golden.js';

const path = golden('random.safetensors');
const tensors = readTensors(path);
const normals = [...tensors].filter(([name]) => /^\d+\./.test(name));

describe('the generator', () => {
  it.each(normals)('draws torch.randn %s', (name, { data }) => {
    const seed = BigInt(name.split('.')[0] ?? '0');
    const drawn = new Generator(seed).normal(data.length);
    for (const [i, expected] of data.entries())
      expect(Math.abs((drawn[i] ?? Number.NaN) - expected)).toBeLessThanOrEqual(1e-6);
  });

  it.each([...tensors].filter(([name]) => /^(stream|randint)\./.test(name)))(
    'draws one after another: %s',
    (name, { data }) => {
      const [kind, seed = '0'] = name.split('.');
      const counts =
        (about<Record<string, string>>(path)[name] ?? '')
          .match(/sizes ([\d, ]+\d)/)?.[1]
          ?.split(',')
          .map(Number) ?? [];
      expect(counts.reduce((a, b) => a + b, 0)).toBe(data.length);
      const generator = new Generator(BigInt(seed));
      const drawn = counts.flatMap((count) => [
        ...(kind === 'stream' ? generator.normal(count) : generator.integers(0, 1000, count)),
      ]);
      if (kind === 'randint') expect(drawn).toEqual([...data]);
      else expectClose(drawn, data, 1e-6, name);
    },
  );

  it('goes on from its state as if nothing had happened', () => {
    const generator = new Generator(5);
    generator.normal(3);
    const copy = Generator.fromState(JSON.parse(JSON.stringify(generator.state())));
    expect(copy.normal(40)).toEqual(generator.normal(40));
    expect(copy.normal(1)).toEqual(generator.normal(1));
    expect(copy.uniform()).toBe(generator.uniform());
  });

  it('refuses a seed that is none', () => {
    for (const seed of [-1, 1.5, Number.NaN, 2 ** 53])
      expect(() => new Generator(seed)).toThrow(/seed: expected a whole number/);
  });
});
