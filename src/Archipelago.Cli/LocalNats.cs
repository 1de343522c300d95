using System.ComponentModel;
using Archipelago.Cli.Load;
using Archipelago.Hosting;

namespace Archipelago.Cli;

/// <summary>A NATS server with JetStream on this machine, for as long as it is wanted; what it stores goes with it.</summary>
internal sealed class LocalNats : IAsyncDisposable
{
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("archipelago-nats");
    private readonly ChildProcess server;

    private LocalNats() => server = ChildProcess.NatsServer(ChildProcess.FreePort(), $"-js -sd \"{folder.FullName}\"");

    /// <summary>Where it answers.</summary>
    public string Url => server.Address.ToString();

    /// <summary>Starts one.</summary>
    /// <exception cref="ConfigurationException">There is no nats-server on this machine.</exception>
    public static async Task<LocalNats> StartAsync()
    {
        var nats = new LocalNats();
        try
        {
            await nats.server.StartServerAsync();
            return nats;
        }
        catch (Win32Exception e)
        {
            await nats.DisposeAsync();
            throw new ConfigurationException([$"nats-server cannot be started: {e.Message} Install it (its JetStream decides which Service leads), or name a server that has JetStream by --nats."]);
        }
        catch
        {
            await nats.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        folder.Delete(recursive: true);
    }
}
