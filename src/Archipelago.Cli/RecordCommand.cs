using System.CommandLine;
using Archipelago.Cli.Replay;
using Archipelago.Hosting;
using Archipelago.Messaging;

namespace Archipelago.Cli;

/// <summary><c>record</c>: writes what happens on the bus into a file that <c>replay</c> reads.</summary>
internal static class RecordCommand
{
    public static Command Create()
    {
        var file = new Argument<string>("FILE") { Description = "Where the lines of JSON go; it must not be there yet." };
        var nats = new Option<string?>("--nats") { Description = "NATS servers, such as nats://127.0.0.1:4222; without it those of NATS_URL." };
        var period = new Option<double>("--period") { Description = "Seconds between flushes, as the Service regroups.", DefaultValueFactory = _ => 2 };
        var duration = new Option<double>("--duration") { Description = "Seconds until it ends by itself; 0 runs until Ctrl-C.", DefaultValueFactory = _ => 0 };
        var plain = new Option<bool>("--plain") { Description = "Writes addresses as they are; without it nobody can tell who was where." };
        period.Require(s => s is >= 0.05 and <= 86_400, "--period must be between 0.05 and a day, in seconds.");
        duration.Require(s => s is >= 0 and <= 31_536_000, "--duration must be between 0 and a year, in seconds.");
        var command = new Command("record", "Records reports and departures on the bus, for replay.") { file, nats, period, duration, plain };
        command.SetAction((parsed, token) => RunAsync(
            parsed.GetValue(file)!, parsed.GetValue(nats), TimeSpan.FromSeconds(parsed.GetValue(period)), TimeSpan.FromSeconds(parsed.GetValue(duration)), parsed.GetValue(plain), token));
        return command;
    }

    private static async Task<int> RunAsync(string file, string? nats, TimeSpan period, TimeSpan duration, bool plain, CancellationToken cancellationToken)
    {
        var settings = new Settings("RECORD", Settings.ProcessSources(Directory.GetCurrentDirectory()));
        await using IMessageBus bus = NatsSettings.Connect(settings, nats, TimeProvider.System);
        settings.ThrowIfFaulty();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        if (duration > TimeSpan.Zero)
            end.CancelAfter(duration);
        try
        {
            await using var output = new FileStream(file, FileMode.CreateNew, FileAccess.Write, FileShare.Read, 1 << 16, useAsync: true);
            var recorder = new Recorder(output, plain, TimeProvider.System);
            IReadOnlyList<IDisposable> listening = recorder.Listen(bus);
            await Console.Error.WriteLineAsync($"Recording into {file}. Ctrl-C ends it.");
            using var timer = new PeriodicTimer(period);
            try
            {
                while (await timer.WaitForNextTickAsync(end.Token))
                    await recorder.FlushAsync();
            }
            catch (OperationCanceledException)
            {
                // It is over; what came since the last flush belongs to it.
            }
            foreach (IDisposable subscription in listening)
                subscription.Dispose();
            await recorder.FlushAsync();
            await Console.Error.WriteLineAsync($"{recorder.Written} reports and departures written, {recorder.Dropped} dropped.");
            return recorder.Dropped == 0 ? 0 : 1;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException([e.Message]);
        }
    }
}
