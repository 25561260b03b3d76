import { stat } from 'node:fs/promises';
import { type Concept, TextualInversionError, vectorsOf } from '@textual-inversion/core';
import { Command } from 'commander';
import { loadConcept } from '../concepts.js';
import { inspectModel, TINY } from '../models.js';
import { nearestWords } from '../nearest-words.js';

interface InspectFlags {
  readonly model?: string;
  readonly json?: boolean;
}

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('say what a file or folder is: a concept or a model')
    .argument('<file or folder>', `a concept, a model, or "${TINY}"`)
    .option(
      '--model <name or folder>',
      `whose words are nearest to the concept (default: "${TINY}" for a concept that was learned on it)`,
    )
    .option('--json', 'print JSON')
    .action(async (path: string, flags: InspectFlags) => {
      const info = await stat(path).catch(() => undefined);
      if (path !== TINY && !info) {
        throw new TextualInversionError('OPTION_INVALID', {
          where: path,
          expected: 'a file or a folder',
          found: 'nothing',
        });
      }
      if (path === TINY || info?.isDirectory()) await showModel(path, flags);
      else await showConcept(path, flags);
    });
}

async function showModel(path: string, { json }: InspectFlags): Promise<void> {
  const model = await inspectModel(path);
  if (json) {
    const parts = Object.fromEntries(
      model.parts.map(({ name, files, ...counts }) => [name, { file: files.join(', '), ...counts }]),
    );
    console.log(JSON.stringify({ kind: 'model', ...model, parts }, undefined, 2));
    return;
  }
  console.log(
    `${model.name}: a model of the family ${model.family}, predicts ${model.prediction}, draws ${model.sizePx} px`,
  );
  for (const { name, tensors, parameters, files } of model.parts) {
    console.log(
      `  ${name.padEnd(16)} ${String(tensors).padStart(5)} tensors ${parameters.toLocaleString('en').padStart(15)} parameters  ${files.join(', ')}`,
    );
  }
}

async function showConcept(path: string, { json, ...flags }: InspectFlags): Promise<void> {
  const concept = await loadConcept(path);
  const norms = concept.rows.map(rowNorms);
  const model = flags.model ?? (concept.info.model === TINY ? TINY : undefined);
  const words = model === undefined ? undefined : await nearestWords(model, concept);
  const facts = {
    kind: 'concept',
    format: concept.format,
    token: concept.token,
    vectors: vectorsOf(concept),
    width: concept.rows.map(({ shape }) => shape[1]),
    family: familyOf(concept),
    norms,
    ...(words && { nearest: words }),
    ...concept.info,
  };
  if (json) {
    console.log(
      JSON.stringify({ ...facts, width: facts.width.length === 1 ? facts.width[0] : facts.width }, undefined, 2),
    );
    return;
  }
  console.log(`${path}: a concept, format ${concept.format}`);
  console.log(`  word     ${concept.token}`);
  console.log(
    `  rows     ${facts.vectors} of width ${facts.width.join(' and ')}${facts.family ? ` (${facts.family})` : ''}`,
  );
  console.log(`  norms    ${norms.map((encoder) => encoder.map((norm) => norm.toFixed(3)).join(' ')).join(' and ')}`);
  if (concept.info.steps !== undefined) console.log(`  steps    ${concept.info.steps}`);
  if (concept.info.model !== undefined) console.log(`  model    ${concept.info.model}`);
  for (const row of words ?? [])
    console.log(`  near     ${row.map(({ word, similarity }) => `${word} ${similarity.toFixed(2)}`).join(', ')}`);
}

function rowNorms({ data, shape: [vectors = 0, width = 0] }: Concept['rows'][number]): number[] {
  return Array.from({ length: vectors }, (_, v) => Math.hypot(...data.subarray(v * width, (v + 1) * width)));
}

/** The family a concept belongs to: two encoders are SDXL's, and the published models of the others differ in width. */
function familyOf({ rows }: Concept): string | null {
  if (rows.length === 2) return 'sdxl';
  const family: Readonly<Record<number, string>> = { 768: 'sd1', 1024: 'sd2' };
  return family[rows[0]?.shape[1] ?? 0] ?? null;
}
