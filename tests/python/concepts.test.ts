import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Concept } from '../../packages/core/src/concepts/concept.js';
import { CONCEPT_FORMATS, writeConcept } from '../../packages/core/src/concepts/formats/index.js';
import { Generator } from '../../packages/core/src/random.js';
import { golden } from '../support/golden.js';

/** A Python with torch and safetensors, and better with diffusers. */
const python = process.env['TI_PYTHON'] ?? 'python3';
const script = fileURLToPath(new URL('../../scripts/check-concepts/check.py', import.meta.url));

const generator = new Generator(9);
const rows = (vectors: number, width: number) => ({
  data: generator.normal(vectors * width),
  shape: [vectors, width],
});

describe('what we write', () => {
  it('is what the tools read, in every format and for one and several rows', () => {
    const folder = mkdtempSync(join(tmpdir(), 'check-concepts-'));
    try {
      const expected = CONCEPT_FORMATS.flatMap(({ name, encoders, extensions }) =>
        extensions.flatMap((extension) =>
          [1, 3].map((vectors) => {
            const concept: Concept = {
              token: '<cat-toy>',
              rows: [rows(vectors, 32), rows(vectors, 48)].slice(0, encoders),
              info: { steps: 12, model: 'tiny' },
            };
            const file = `${name}-${vectors}${extension}`;
            writeFileSync(join(folder, file), writeConcept(concept, name, extension));
            return { file, format: name, token: concept.token, rows: concept.rows.map(toLists) };
          }),
        ),
      );
      writeFileSync(join(folder, 'expected.json'), JSON.stringify(expected));
      const { status, stdout, stderr } = spawnSync(
        python,
        [script, folder, '--tokenizer', golden('tiny-sd1', 'tokenizer')],
        { encoding: 'utf8', env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } },
      );
      const lines = stdout.trim().split('\n');
      expect(
        lines.filter((line) => !line.endsWith(': equal')),
        stderr,
      ).toEqual([]);
      expect(lines.length).toBeGreaterThanOrEqual(expected.length);
      expect(status, stderr).toBe(0);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 300_000);
});

function toLists({ data, shape: [, width = 1] }: Concept['rows'][number]): number[][] {
  return Array.from({ length: data.length / width }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);
}
