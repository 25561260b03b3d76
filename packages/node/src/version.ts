import packageJson from '../package.json';

/** Version of the package. */
export const { version } = packageJson;
