/** The times of an election by lease. Larger ones make elections calmer and failover slower. */
export interface LeadershipSettings {
  /** A holder renews this often. */
  readonly renewEveryMs: number
  /** A holder that could not renew for this long stops acting. Must be below `claimAfterMs`, by more than a message takes. */
  readonly giveUpMs: number
  /** A standby that saw no change of the lease for this long, plus a random part of `jitterMs`, claims it. */
  readonly claimAfterMs: number
  readonly jitterMs: number
  /** A gap between two ticks from which the process counts as having been stopped: it must renew before it acts. */
  readonly pauseMs: number
  /** An unanswered write counts as unknown after this long. */
  readonly putTimeoutMs: number
}

export const defaultLeadership: LeadershipSettings = {
  renewEveryMs: 300,
  giveUpMs: 800,
  claimAfterMs: 1_200,
  jitterMs: 200,
  pauseMs: 400,
  putTimeoutMs: 600,
}
