// Server PORT: counts for each key, with tasks, timers and garbage for the collector of servers.
using System.Collections.Concurrent;
using System.Globalization;

var content = Enumerable.Range(0, 20000).Select(i => (byte)((long)i * i % 251)).ToArray();
ConcurrentDictionary<string, StrongBox> counts = new();
var builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.UseUrls($"http://127.0.0.1:{args[0]}");
var application = builder.Build();
application.MapGet("/content", () => Results.Bytes(content));
application.MapGet("/next", async context =>
{
    var box = counts.GetOrAdd(context.Request.Query["key"].ToString(), _ => new StrongBox());
    await context.Response.WriteAsync((Interlocked.Increment(ref box.Count) - 1).ToString(CultureInfo.InvariantCulture));
});
for (var i = 0; i < 4; i++)
{
    _ = Task.Run(async () =>
    {
        Queue<int[]> kept = new();
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(1));
        while (await timer.WaitForNextTickAsync())
        {
            for (var j = 0; j < 20; j++)
            {
                var array = new int[500];
                Array.Fill(array, Random.Shared.Next());
                kept.Enqueue(array);
            }

            while (kept.Count > 5000)
            {
                var old = kept.Dequeue();
                if (old.AsSpan().ContainsAnyExcept(old[0]))
                {
                    Environment.FailFast("memory is damaged");
                }
            }
        }
    });
}

await application.RunAsync();

internal sealed class StrongBox
{
    public int Count;
}
