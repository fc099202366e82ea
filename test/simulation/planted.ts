/** All planted bugs. A test runs seeds until each is found. */

import { plantedInFeatures } from './planted-features.ts'
import { plantedInFold } from './planted-fold.ts'
import { plantedInLog } from './planted-log.ts'
import { plantedInObjects } from './planted-objects.ts'
import { plantedInPartitions } from './planted-partitions.ts'
import { plantedInRuntime } from './planted-runtime.ts'
import type { Plant } from './plants.ts'

export const plants: readonly Plant[] = [
  ...plantedInLog,
  ...plantedInFold,
  ...plantedInRuntime,
  ...plantedInFeatures,
  ...plantedInPartitions,
  ...plantedInObjects,
]
