import com.posthog.java.PostHog;
import java.util.Map;

/** Sends events with posthog-java. Arguments: URL of the server, token, number of events. */
class Legacy {
  public static void main(String[] arguments) {
    PostHog posthog = new PostHog.Builder(arguments[1]).host(arguments[0]).build();
    int count = Integer.parseInt(arguments[2]);
    for (int index = 0; index < count; index += 1) {
      posthog.capture("user-" + index, "ordered", Map.of("index", index, "name", "Ada \uD83D\uDE80"));
    }
    posthog.identify("user-1", Map.of("email", "ada@example.com"));
    posthog.shutdown();
    System.out.println("{}");
  }
}
