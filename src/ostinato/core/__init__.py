"""The pure core: durations, clock, waveforms, cycles, schedules and plans. No torch."""
