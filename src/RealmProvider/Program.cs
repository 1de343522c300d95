using Archipelago.Hosting;
using Archipelago.RealmProvider;

return await HostRunner.RunAsync("REALM_PROVIDER", RealmProviderHost.Build, needsBus: false);
