import com.clickhouse.client.api.Client;
import com.clickhouse.client.api.query.GenericRecord;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** Reads with clickhouse-jdbc and client-v2 at their defaults. Prints one line a result. */
public class Drivers {
  public static void main(String[] arguments) throws Exception {
    String port = arguments[0];
    readByJdbc(port);
    readByClient(port);
    System.exit(0);
  }

  private static void readByJdbc(String port) throws SQLException {
    String url = "jdbc:clickhouse://127.0.0.1:" + port + "/default";
    try (Connection connection = DriverManager.getConnection(url, "default", "")) {
      try (Statement statement = connection.createStatement()) {
        statement.setQueryTimeout(34);
        try (ResultSet rows = statement.executeQuery("SELECT a, s FROM t ORDER BY a")) {
          List<String> texts = new ArrayList<>();
          while (rows.next()) texts.add(rows.getLong("a") + "=" + rows.getString("s"));
          System.out.println("jdbc rows " + texts);
        }
        String large = "SELECT number, repeat('x', number % 100) AS s FROM numbers(200000)";
        try (ResultSet rows = statement.executeQuery(large)) {
          long sum = 0;
          long bytes = 0;
          while (rows.next()) {
            sum += rows.getLong(1);
            bytes += rows.getString(2).length();
          }
          System.out.println("jdbc large " + sum + " " + bytes);
        }
        try {
          statement.executeQuery("SELECT * FROM nope");
        } catch (SQLException error) {
          System.out.println("jdbc error " + error.getMessage().contains("UNKNOWN_TABLE"));
        }
      }
      String sql = "SELECT s FROM t WHERE a = ?";
      try (PreparedStatement statement = connection.prepareStatement(sql)) {
        statement.setLong(1, 2);
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          System.out.println("jdbc prepared " + rows.getString(1));
        }
      }
      DatabaseMetaData metadata = connection.getMetaData();
      try (ResultSet tables = metadata.getTables(null, "default", "t", null)) {
        tables.next();
        System.out.println("jdbc table " + tables.getString("TABLE_NAME"));
      }
      try (ResultSet columns = metadata.getColumns(null, "default", "t", "%")) {
        List<String> names = new ArrayList<>();
        while (columns.next()) names.add(columns.getString("COLUMN_NAME"));
        System.out.println("jdbc columns " + names);
      }
      try (ResultSet schemas = metadata.getSchemas()) {
        System.out.println("jdbc schemas " + schemas.next());
      }
    }
  }

  private static void readByClient(String port) throws Exception {
    try (Client client = new Client.Builder()
        .addEndpoint("http://127.0.0.1:" + port)
        .setUsername("default")
        .setPassword("")
        .build()) {
      System.out.println("client ping " + client.ping());
      List<GenericRecord> rows = client.queryAll("SELECT a, s FROM t ORDER BY a");
      System.out.println("client rows " + rows.size() + " " + rows.get(0).getString("s"));
      long count = client.queryAll("SELECT number FROM numbers(100000)").size();
      System.out.println("client large " + count);
      try {
        client.queryAll("SELECT * FROM nope");
      } catch (Exception error) {
        String text = String.valueOf(error) + error.getCause();
        System.out.println("client error " + text.contains("UNKNOWN_TABLE"));
      }
      System.out.println("client schema " + client.getTableSchema("t").getColumns().size());
    }
  }
}
