using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json;

namespace Archipelago.Cli.Load;

/// <summary>Awaits what other processes bring about.</summary>
internal static class Until
{
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(20);

    /// <summary>Asks again and again until the answer is true; who cannot be reached has not answered. Returns the milliseconds that it took.</summary>
    /// <exception cref="TimeoutException">It never became true.</exception>
    public static async Task<double> TrueAsync(Func<Task<bool>> condition, TimeSpan patience)
    {
        long start = Stopwatch.GetTimestamp();
        using var timer = new PeriodicTimer(Period);
        while (!await HoldsAsync(condition))
        {
            if (Stopwatch.GetElapsedTime(start) > patience)
                throw new TimeoutException($"It did not come true within {patience.TotalSeconds:0} s.");
            await timer.WaitForNextTickAsync();
        }
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    public static Task<double> TrueAsync(Func<bool> condition, TimeSpan patience) => TrueAsync(() => Task.FromResult(condition()), patience);

    private static async Task<bool> HoldsAsync(Func<Task<bool>> condition)
    {
        try
        {
            return await condition();
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or JsonException or TaskCanceledException)
        {
            return false;
        }
    }
}
