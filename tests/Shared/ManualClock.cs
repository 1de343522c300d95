namespace Archipelago.Testing;

/// <summary>A clock that moves only when a test says so, and fires the timers that fall due on the way.</summary>
internal sealed class ManualClock : TimeProvider
{
    private readonly Lock changing = new();
    private readonly List<ManualTimer> timers = [];
    private DateTimeOffset now = new(2026, 1, 15, 12, 0, 0, TimeSpan.Zero);
    private readonly DateTimeOffset start = new(2026, 1, 15, 12, 0, 0, TimeSpan.Zero);

    // As fine as the real one, so that what overflows there overflows here.
    public override long TimestampFrequency => 1_000_000_000;

    public override DateTimeOffset GetUtcNow()
    {
        lock (changing)
            return now;
    }

    public override long GetTimestamp() => (GetUtcNow() - start).Ticks * 100;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    public void Advance(TimeSpan by)
    {
        DateTimeOffset end = GetUtcNow() + by;
        while (true)
        {
            ManualTimer? due;
            lock (changing)
            {
                due = timers.Where(t => t.Due <= end).MinBy(t => t.Due);
                now = due?.Due > now ? due.Due.Value : due is null ? end : now;
                if (due is null)
                    return;
                due.Due = due.Period > TimeSpan.Zero ? due.Due + due.Period : null;
            }
            due.Fire();
        }
    }

    private sealed class ManualTimer(ManualClock clock, TimerCallback callback, object? state) : ITimer
    {
        public DateTimeOffset? Due;
        public TimeSpan Period;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (clock.changing)
            {
                Due = dueTime == Timeout.InfiniteTimeSpan ? null : clock.now + dueTime;
                Period = period;
                if (!clock.timers.Contains(this))
                    clock.timers.Add(this);
            }
            return true;
        }

        public void Fire() => callback(state);

        public void Dispose()
        {
            lock (clock.changing)
                clock.timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
