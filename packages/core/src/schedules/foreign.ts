import { TextualInversionError } from '../errors.js';
import { BETA_SCHEDULES, type NoiseScheduleConfig } from './noise.js';
import { PREDICTIONS, type PredictionType } from './prediction.js';
import type { SamplerName, SamplerOptions } from './samplers/index.js';
import { SPACINGS } from './spacing.js';

/** What a checkpoint says about its noise, and how its makers draw with it. */
export interface SchedulerConfig {
  readonly noise: NoiseScheduleConfig;
  readonly prediction: PredictionType;
  readonly sampler: SamplerName;
  /** What the file says. Any sampler takes it, as in diffusers' `from_config`. */
  readonly samplerOptions: GivenOptions;
  /** The same with what its own sampler does where the file is silent. */
  readonly ownOptions: GivenOptions;
}

type GivenOptions = Omit<SamplerOptions, 'steps' | 'prediction'>;

/** What a checkpoint's file asks of a sampler. */
export function samplerOptionsFor(config: SchedulerConfig, sampler: SamplerName): GivenOptions {
  return sampler === config.sampler ? config.ownOptions : config.samplerOptions;
}

type Json = Readonly<Record<string, unknown>>;

/** How a class of diffusers is read. */
interface SchedulerClass {
  sampler: (config: Json) => SamplerName;
  /** Defaults of the class that differ from ours. */
  defaults?: Json;
  /** Keys that would change the arithmetic in a way we do not compute, and the values that leave it alone. */
  plain?: Readonly<Record<string, readonly unknown[]>>;
}

const OTHER_SIGMAS = { use_exponential_sigmas: [false], use_beta_sigmas: [false] };
const SOLVER = {
  ...OTHER_SIGMAS,
  thresholding: [false],
  solver_order: [2],
  lower_order_final: [true],
  use_flow_sigmas: [false],
  sigma_min: [],
  sigma_max: [],
};
const CLIPS = { clip_sample: true };

const CLASSES: Readonly<Record<string, SchedulerClass>> = {
  DDPMScheduler: {
    sampler: () => 'ddpm',
    defaults: CLIPS,
    // `fixed_small_log` takes a logarithm on the way to the same numbers.
    plain: { thresholding: [false], variance_type: ['fixed_small', 'fixed_small_log'] },
  },
  DDIMScheduler: { sampler: () => 'ddim', defaults: CLIPS, plain: { thresholding: [false] } },
  PNDMScheduler: { sampler: () => 'pndm', defaults: { skip_prk_steps: false }, plain: { skip_prk_steps: [true] } },
  EulerDiscreteScheduler: {
    sampler: (config) => (config['use_karras_sigmas'] === true ? 'euler-karras' : 'euler'),
    plain: {
      ...OTHER_SIGMAS,
      interpolation_type: ['linear'],
      timestep_type: ['discrete'],
      sigma_min: [],
      sigma_max: [],
    },
  },
  EulerAncestralDiscreteScheduler: { sampler: () => 'euler-ancestral' },
  HeunDiscreteScheduler: {
    sampler: () => 'heun',
    defaults: { beta_start: 0.00085, beta_end: 0.012 },
    plain: OTHER_SIGMAS,
  },
  DPMSolverMultistepScheduler: {
    sampler: (config) => {
      if (config['algorithm_type'] === 'sde-dpmsolver++') return 'dpmsolver++sde';
      return config['use_karras_sigmas'] === true ? 'dpmsolver++karras' : 'dpmsolver++';
    },
    plain: {
      ...SOLVER,
      algorithm_type: ['dpmsolver++', 'sde-dpmsolver++'],
      solver_type: ['midpoint'],
      euler_at_final: [false],
      use_lu_lambdas: [false],
      lambda_min_clipped: [],
      variance_type: [],
    },
  },
  UniPCMultistepScheduler: {
    sampler: () => 'unipc',
    plain: { ...SOLVER, predict_x0: [true], solver_type: ['bh2'], disable_corrector: [[]], solver_p: [] },
  },
  LCMScheduler: {
    sampler: () => 'lcm',
    defaults: { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' },
    plain: { thresholding: [false], timestep_spacing: ['leading'] },
  },
};

/** Defaults that the classes of diffusers share. */
const SHARED = {
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear',
  num_train_timesteps: 1000,
  prediction_type: 'epsilon',
};

/**
 * Reads a diffusers `scheduler_config.json` of any age. Keys that are absent or null have the defaults of the class the file
 * names.
 * @param where - For messages.
 * @throws MODEL_CONFIG for values of a wrong kind, MODEL_UNSUPPORTED for classes and settings that we do not compute.
 */
export function readSchedulerConfig(json: unknown, where = 'scheduler/scheduler_config.json'): SchedulerConfig {
  const given = withoutNulls(json, where);
  const className = String(given['_class_name']);
  const kind = CLASSES[className];
  if (!kind) throw unsupported(where, '_class_name', Object.keys(CLASSES), given['_class_name']);
  const config: Json = { ...SHARED, ...kind.defaults, ...given };
  for (const [key, plain] of Object.entries(kind.plain ?? {})) {
    const same = (value: unknown) => JSON.stringify(value) === JSON.stringify(config[key]);
    if (config[key] !== undefined && !plain.some(same)) throw unsupported(where, key, plain, config[key]);
  }

  const read = reader(config, where);
  const range = read.number('clip_sample_range') ?? 1;
  const ownOptions = {
    spacing: read.oneOf('timestep_spacing', SPACINGS),
    stepsOffset: read.number('steps_offset'),
    setAlphaToOne: read.flag('set_alpha_to_one'),
    clipSample: read.flag('clip_sample') ? range : undefined,
    karras: read.flag('use_karras_sigmas'),
    finalSigma: read.oneOf('final_sigmas_type', ['zero', 'sigma_min']),
    originalSteps: read.number('original_inference_steps'),
    timestepScaling: read.number('timestep_scaling'),
  };
  return {
    noise: {
      trainSteps: read.required('num_train_timesteps'),
      betaStart: read.required('beta_start'),
      betaEnd: read.required('beta_end'),
      betaSchedule: read.oneOf('beta_schedule', BETA_SCHEDULES) ?? 'linear',
      trainedBetas: read.numbers('trained_betas'),
      zeroTerminalSnr: read.flag('rescale_betas_zero_snr') ?? false,
    },
    prediction: read.oneOf('prediction_type', PREDICTIONS) ?? 'epsilon',
    sampler: kind.sampler(config),
    samplerOptions: { ...ownOptions, clipSample: given['clip_sample'] === true ? range : undefined },
    ownOptions,
  };
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
const isNumbers = (value: unknown): value is number[] => Array.isArray(value) && value.every(isNumber);

/** One value at a time; undefined where the file is silent. */
function reader(config: Json, where: string) {
  const typed = <T>(key: string, expected: string, is: (value: unknown) => value is T): T | undefined => {
    const value = config[key];
    if (value === undefined || is(value)) return value;
    throw wrong(where, key, expected, value);
  };
  return {
    number: (key: string) => typed(key, 'a number', isNumber),
    required: (key: string) => {
      const value = typed(key, 'a number', isNumber);
      if (value === undefined) throw wrong(where, key, 'a number', value);
      return value;
    },
    numbers: (key: string) => typed(key, 'a list of numbers', isNumbers),
    flag: (key: string) => typed(key, 'true or false', isFlag),
    oneOf: <T extends string>(key: string, known: readonly T[]): T | undefined => {
      const value = config[key];
      const match = known.find((entry) => entry === value);
      if (value !== undefined && match === undefined) throw unsupported(where, key, known, value);
      return match;
    },
  };
}

function withoutNulls(json: unknown, where: string): Json {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw wrong(where, '', 'a JSON object', json);
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null && value !== undefined));
}

function wrong(where: string, key: string, expected: string, value: unknown): TextualInversionError {
  return problem('MODEL_CONFIG', where, key, expected, value);
}

function unsupported(where: string, key: string, known: readonly unknown[], value: unknown): TextualInversionError {
  const names = known.map((entry) => (typeof entry === 'string' ? entry : JSON.stringify(entry)));
  return problem('MODEL_UNSUPPORTED', where, key, names.join(' or ') || 'nothing', value);
}

function problem(
  code: 'MODEL_CONFIG' | 'MODEL_UNSUPPORTED',
  where: string,
  key: string,
  expected: string,
  value: unknown,
): TextualInversionError {
  return new TextualInversionError(code, {
    where: key ? `${where}: ${key}` : where,
    expected,
    found: value === undefined ? 'nothing' : JSON.stringify(value),
    details: { key, value },
  });
}
