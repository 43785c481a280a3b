import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.serialization.StringSerializer;

/** For each line of the input, a key, prints which of so many partitions a Java producer chooses. */
public class Partitions {
  public static void main(String[] args) throws IOException {
    var keys = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var serializer = new StringSerializer();
    for (String key = keys.readLine(); key != null; key = keys.readLine()) {
      byte[] bytes = serializer.serialize("topic", key);
      for (String partitions : args) {
        System.out.println(BuiltInPartitioner.partitionForKey(bytes, Integer.parseInt(partitions)));
      }
    }
  }
}
