export declare function copyAssets(folder: string): Record<string, number>;
