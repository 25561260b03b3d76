import { describe, expect, it } from 'vitest';
import { readSchedulerConfig, samplerOptionsFor } from './foreign.js';

const SD1 = {
  _class_name: 'PNDMScheduler',
  _diffusers_version: '0.6.0',
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
  clip_sample: false,
};

describe('readSchedulerConfig', () => {
  it('reads a file of the 0.6 era', () => {
    const config = readSchedulerConfig(SD1);
    expect(config.sampler).toBe('pndm');
    expect(config.prediction).toBe('epsilon');
    expect(config.noise).toMatchObject({ betaSchedule: 'scaled_linear', betaStart: 0.00085, zeroTerminalSnr: false });
    expect(config.samplerOptions).toMatchObject({ stepsOffset: 1, setAlphaToOne: false });
    expect(config.samplerOptions.clipSample).toBeUndefined();
    expect(config.samplerOptions.spacing).toBeUndefined();
  });

  it('takes the defaults of the class that the file names', () => {
    expect(readSchedulerConfig({ _class_name: 'DDIMScheduler' })).toMatchObject({
      noise: { trainSteps: 1000, betaStart: 1e-4, betaEnd: 0.02, betaSchedule: 'linear' },
      ownOptions: { clipSample: 1 },
      // Other samplers have other defaults: what the file does not say is not theirs.
      samplerOptions: { clipSample: undefined },
    });
    const clipped = readSchedulerConfig({ _class_name: 'DDIMScheduler', clip_sample: true, clip_sample_range: 2 });
    expect(samplerOptionsFor(clipped, 'heun').clipSample).toBe(2);
    expect(samplerOptionsFor(readSchedulerConfig({ _class_name: 'DDIMScheduler' }), 'heun').clipSample).toBeUndefined();
    expect(samplerOptionsFor(readSchedulerConfig({ _class_name: 'DDIMScheduler' }), 'ddim').clipSample).toBe(1);
    expect(readSchedulerConfig({ _class_name: 'LCMScheduler' }).noise).toMatchObject({
      betaStart: 0.00085,
      betaSchedule: 'scaled_linear',
    });
  });

  it.each([
    ['EulerDiscreteScheduler', { use_karras_sigmas: true }, 'euler-karras'],
    ['EulerAncestralDiscreteScheduler', {}, 'euler-ancestral'],
    ['DPMSolverMultistepScheduler', {}, 'dpmsolver++'],
    ['DPMSolverMultistepScheduler', { use_karras_sigmas: true }, 'dpmsolver++karras'],
    ['DPMSolverMultistepScheduler', { algorithm_type: 'sde-dpmsolver++' }, 'dpmsolver++sde'],
  ])('finds the sampler of %s %j', (_class_name, settings, sampler) => {
    expect(readSchedulerConfig({ _class_name, ...settings }).sampler).toBe(sampler);
  });

  it.each([
    ['MODEL_CONFIG', []],
    ['MODEL_CONFIG', { ...SD1, beta_start: '0.1' }],
    ['MODEL_CONFIG', { ...SD1, steps_offset: true }],
    ['MODEL_UNSUPPORTED', { ...SD1, _class_name: 'KarrasVeScheduler' }],
    ['MODEL_UNSUPPORTED', { ...SD1, beta_schedule: 'laplace' }],
    ['MODEL_UNSUPPORTED', { ...SD1, prediction_type: 'flow' }],
    ['MODEL_UNSUPPORTED', { ...SD1, skip_prk_steps: undefined }],
    ['MODEL_UNSUPPORTED', { _class_name: 'DPMSolverMultistepScheduler', solver_order: 3 }],
    ['MODEL_UNSUPPORTED', { _class_name: 'DPMSolverMultistepScheduler', lambda_min_clipped: -5.1 }],
    ['MODEL_UNSUPPORTED', { _class_name: 'UniPCMultistepScheduler', sigma_max: 10 }],
  ])('refuses with %s: %j', (code, json) => {
    expect(() => readSchedulerConfig(json)).toThrow(expect.objectContaining({ code }));
  });

  it('names the class it does not know and those it does', () => {
    expect(() => readSchedulerConfig({ _class_name: 'KarrasVeScheduler' })).toThrow(
      /_class_name: expected DDPMScheduler or .*LCMScheduler, found "KarrasVeScheduler"/,
    );
  });
});
