import type { Plant } from './plants.ts'
export const plants: readonly Plant[] = []
