using System.CommandLine;
using Holdfast.Runtime.Configuration;
using Holdfast.Runtime.Storage;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary>The options that say how a device is reached.</summary>
internal sealed class DeviceOptions
{
    private readonly Option<string?> _deviceKey = Options.Text("--device-key", "FILE", "For a directory: the key file of the store there (default: this store's key)");
    private readonly Option<string?> _endpoint = Options.Text("--endpoint", "URL", "For s3: the service's address (default: $AWS_ENDPOINT_URL_S3, $AWS_ENDPOINT_URL, else AWS); credentials and region as for other AWS tools");

    public Option<string?> Certificate { get; } = Options.Text("--certificate", "FILE", "For https: our certificate, PEM (default: holdfast.tls.certificate)");

    public Option<string?> PrivateKey { get; } = Options.Text("--private-key", "FILE", "For https: its private key, PEM (default: holdfast.tls.private-key)");

    public Option<string?> Authority { get; } = Options.Text("--authority", "FILE", "For https: the certificate of the authority that both sides trust, PEM (default: holdfast.tls.authority)");

    public IEnumerable<Option> All => [_deviceKey, _endpoint, Certificate, PrivateKey, Authority];

    public DeviceAccess Read(ParseResult parsed, Session session) => new(parsed.GetValue(_deviceKey), Tls(parsed, session), parsed.GetValue(_endpoint));

    public TlsFiles Tls(ParseResult parsed, Session session)
    {
        TlsFiles configured = session.Settings.Storage.Tls;
        return new TlsFiles(
            parsed.GetValue(Certificate) ?? configured.Certificate, parsed.GetValue(PrivateKey) ?? configured.PrivateKey, parsed.GetValue(Authority) ?? configured.Authority);
    }
}
