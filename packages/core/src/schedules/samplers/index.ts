import { TextualInversionError } from '../../errors.js';
import { numberIn, oneOf } from '../../options.js';
import type { NoiseSchedule } from '../noise.js';
import { PREDICTIONS } from '../prediction.js';
import { SPACINGS } from '../spacing.js';
import { createDdim } from './ddim.js';
import { createDdpm } from './ddpm.js';
import { createDpmSolver, createDpmSolverSde } from './dpmsolver.js';
import { createEuler } from './euler.js';
import { createEulerAncestral } from './euler-ancestral.js';
import { createHeun } from './heun.js';
import { createLcm } from './lcm.js';
import { createPndm } from './pndm.js';
import type { CreateSampler, Sampler, SamplerOptions } from './sampler.js';
import { createUnipc } from './unipc.js';

export type { Sampler, SamplerOptions } from './sampler.js';

const withKarras =
  (create: CreateSampler): CreateSampler =>
  (schedule, options) =>
    create(schedule, { ...options, karras: true });

/** To add a sampler, write its file and a line here. */
const CREATORS = {
  ddpm: createDdpm,
  ddim: createDdim,
  pndm: createPndm,
  euler: createEuler,
  'euler-karras': withKarras(createEuler),
  'euler-ancestral': createEulerAncestral,
  heun: createHeun,
  'dpmsolver++': createDpmSolver,
  'dpmsolver++karras': withKarras(createDpmSolver),
  'dpmsolver++sde': createDpmSolverSde,
  unipc: createUnipc,
  lcm: createLcm,
} satisfies Record<string, CreateSampler>;

/** Name of a sampler: what `--sampler` and `GenerateOptions.sampler` take. */
export type SamplerName = keyof typeof CREATORS;

const isSamplerName = (name: string): name is SamplerName => name in CREATORS;

/** Every sampler there is. */
export const SAMPLERS: readonly SamplerName[] = Object.keys(CREATORS).filter(isSamplerName);

/**
 * Makes the sampler for one run.
 * @param name - One of `SAMPLERS`.
 * @throws OPTION_INVALID for an unknown name, or steps that the schedule does not have.
 */
export function createSampler(name: string, schedule: NoiseSchedule, options: SamplerOptions): Sampler {
  const create = CREATORS[oneOf('sampler', name, SAMPLERS)];
  numberIn('steps', options.steps, { min: 1, max: schedule.trainSteps, integer: true });
  oneOf('prediction', options.prediction, PREDICTIONS);
  if (options.spacing !== undefined) oneOf('spacing', options.spacing, SPACINGS);
  const sampler = create(schedule, options);
  checkReach(sampler, schedule, options);
  return sampler;
}

/** Refuses walks that leave the schedule, or that start where the network's answer would have to be divided by zero. */
function checkReach({ timesteps }: Sampler, schedule: NoiseSchedule, options: SamplerOptions): void {
  const first = Math.max(...timesteps);
  if (first >= schedule.trainSteps) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'steps',
      expected: `timesteps below ${schedule.trainSteps}`,
      found: `${options.steps} steps that begin at ${first}`,
      fix: 'Take fewer steps.',
    });
  }
  if (options.prediction === 'epsilon' && schedule.alphasCumprod[first] === 0) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'spacing',
      expected: 'a first timestep with some signal, because the network predicts the noise',
      found: `timestep ${first}, which is pure noise`,
      fix: 'Use the spacing "leading", or a network that predicts v.',
    });
  }
}
